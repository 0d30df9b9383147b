"""Every pass on every example network, for every builder that needs no device: is it taken, and what becomes of it?"""
