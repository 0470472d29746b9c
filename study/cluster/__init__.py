"""Ray clusters: cluster files with list prices, the check of an AWS account, roles."""
