"""uint8 patches -> embeddings. Load one with ``napari_gimp.encoders.load.load_encoder``; torch comes only then."""
