"""Models on the Hugging Face Hub, through the optional package huggingface_hub: addresses, fetching and pushing."""
