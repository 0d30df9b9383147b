"""From a plan to a bundle: planning, the cache, child processes and the events that tell about them."""
