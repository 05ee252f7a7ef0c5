"""An experiment in the terms of the exact theory: its prediction and its plan."""
