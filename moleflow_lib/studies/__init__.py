"""Questions put to the method: ablations, baselines, the router, features and latents."""
