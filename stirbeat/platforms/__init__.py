"""One module or package a platform; each exports PLATFORM. Providers are named by string."""
