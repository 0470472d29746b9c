"""Ray clusters: cluster files, what AWS still lacks, roles, prices."""
