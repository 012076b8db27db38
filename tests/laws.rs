//! Properties that hold for any data and any definition, tried on random ones.
