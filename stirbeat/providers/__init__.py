"""One module a vendor; each exports PROVIDER. `http` is the only HTTP client."""
