"""The main of a program that measures in guests, here or in the lab: NAME.py TORPOR prints its figures as JSON."""
import json
import shutil
import sys
import tempfile


def main(measure):
    """`measure`: figures, of a torpor and a folder that is there for it alone."""
    home = tempfile.mkdtemp()
    try:
        print(json.dumps(measure(sys.argv[1], home)), flush=True)
    finally:
        shutil.rmtree(home, ignore_errors=True)
