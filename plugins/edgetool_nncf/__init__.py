"""NNCF's post-training quantizer behind the pass contract."""
