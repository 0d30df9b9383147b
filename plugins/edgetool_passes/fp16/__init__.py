"""The parts of `cast-fp16` and `cast-bf16`: which ports can have 16 bits, which nodes shall, and the rewrite."""
