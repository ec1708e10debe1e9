"""Which task an image belongs to: prototypes, covariance estimates, open-set rejection."""
