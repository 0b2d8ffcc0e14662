"""An emulator of Tencent Cloud's Domain API with a console, to try the bridge locally. Never deployed."""
