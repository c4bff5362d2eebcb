"""The Hugging Face hub: folders in its convention, model cards, and the way there."""
