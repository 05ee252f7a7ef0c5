"""What crossfeed is measured against, each set up as its own documentation recommends."""
