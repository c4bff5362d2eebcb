"""How much models learn in a given time, beside other libraries'."""
