"""The parts of `cast-fp16`: which ports can be float16, which nodes shall be, and the rewrite."""
