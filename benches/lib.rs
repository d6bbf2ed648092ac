//! Frit's benches: `cargo bench --bench compile_time`, and `versus.py` beside this file.
