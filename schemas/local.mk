# The QMP schema and its generator.
