"""HTTP -> producer: what `app.main` is put together from."""
