"""The shipped model in a web page: plain JavaScript, and `live.export`, which writes its weights file."""
