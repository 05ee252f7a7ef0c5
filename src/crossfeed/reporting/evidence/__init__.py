"""The survey of what makers say their models were trained on."""
