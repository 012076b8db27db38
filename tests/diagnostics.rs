//! Mistakes in definitions, each with the message that an analyst gets.
