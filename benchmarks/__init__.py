"""Every figure the README states, measured anew: ``make bench`` prints them, ``make bench WRITE=1`` renews them."""
