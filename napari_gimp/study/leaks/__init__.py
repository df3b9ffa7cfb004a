"""Can the label be read from an artefact? Each finding is one sentence that begins with its name.

``leak check (values):`` exact values that genes repeat differ between the classes. ``leak check (scale):`` the classes
were scaled apart. ``leak check (split):`` a case, slide or site stands on both sides. ``leak check (sites):`` the site
gives the label away.
"""

from napari_gimp.study.leaks.check import check_leaks as check_leaks
