"""The networks: shared encoders and normalisation, one core per architecture."""
