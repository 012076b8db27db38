//! All tests that look at the project from outside, in one program so that it is linked once.

mod cli;
mod layers;
mod readme;
