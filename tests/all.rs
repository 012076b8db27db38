//! All tests over the public surface, in one binary: linking DataFusion once is enough.

mod layers;
mod readme;
