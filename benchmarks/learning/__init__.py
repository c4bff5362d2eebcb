"""Learning in a given time, of models and of other libraries' beside them."""
