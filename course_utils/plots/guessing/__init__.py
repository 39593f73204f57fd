"""What predict cells ask: which guesses are valid, how a notebook keeps them, and the control that takes them."""
