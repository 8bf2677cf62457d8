"""`artoveq watch`: a camera, a video or a folder in, results out, for as long as it runs."""
