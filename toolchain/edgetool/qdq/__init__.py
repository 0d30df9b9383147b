"""Q/DQ in a typed ONNX: what passes write and backends read. Importing it loads neither onnx nor numpy.

A pass records precision as pairs of QuantizeLinear and DequantizeLinear; a backend may rewrite the pairs for its own
runtime. Both edit graphs with `GraphEditor`, find pairs with `activation_pairs` and share the calibrated ranges that
travel in the model's metadata (`edgetool.qdq.ranges`).
"""
