//! What a request asks of fields that can't answer it.
