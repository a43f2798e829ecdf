"""The host agent: a small program that runs on a watched machine.

It is served as one file, which `bundle` puts together; nothing here imports Django or runs in the platform.
It runs on Python 3.9 and later with psutil, websockets and cryptography.
"""
