# Two commands: `make demo` (the main job on generated sample data) and `make test` (the whole suite).
# Both set up what is missing: .venv and, on Debian or Ubuntu without them, the system packages that Qt and OpenGL need.
PYTHON ?= python3
VENV   := .venv
TORCH  ?= torch==2.13.0
SYSTEM := xvfb xauth libegl1 libgl1 libglx0 libgl1-mesa-dri libdbus-1-3 libfontconfig1 libglib2.0-0 libxcb-cursor0 \
  libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-sync1 \
  libxcb-xfixes0 libxcb-xkb1 libxkbcommon0 libxkbcommon-x11-0 libx11-xcb1
SUDO   := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: demo test setup system clean

demo: setup
	$(VENV)/bin/napari-gimp demo

test: setup
	$(VENV)/bin/python -m pytest -n auto --dist loadfile

setup: system $(VENV)/ready

$(VENV)/ready: pyproject.toml
	@echo "Setting up $(VENV): $(TORCH), napari-gimp and its test tools (about 2 GB)"
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet "$(TORCH)"
	$(VENV)/bin/python -m pip install --quiet --editable ".[test]"
	touch $@

system:
	@command -v dpkg-query >/dev/null && command -v apt-get >/dev/null || exit 0; \
	missing=""; for p in $(SYSTEM); do \
	  dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q "install ok installed" || missing="$$missing $$p"; done; \
	[ -z "$$missing" ] && exit 0; \
	echo "Installing system packages:$$missing"; \
	$(SUDO) apt-get update -qq && DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $$missing

clean:
	rm -rf $(VENV) demo-output
