"""Moving on a slide: places, pieces of tissue, rulers, how it is turned, its colours."""
