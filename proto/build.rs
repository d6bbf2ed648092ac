//! Compiles the .proto files, in Rust alone.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(["proto/onnx.proto", "proto/tensorflow.proto"], ["proto"])?;
    prost_build::Config::new().bytes([".onnx.Tensor.raw_data", ".tensorflow.Tensor.tensor_content"]).btree_map([".tensorflow"]).compile_fds(files)?;
    Ok(())
}
