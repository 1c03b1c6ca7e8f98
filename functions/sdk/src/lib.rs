//! What a function around a model needs.
//!
//! A function takes what users have (a photo, a sentence, a file), makes tensors of it, asks the model that it is linked
//! to, and answers with what they want to know. It is a WebAssembly component that imports `samara:inference/model` and
//! exports an HTTP handler; which implementation of the model it is linked to is none of its business.
//!
//! ```
//! use samara_function::{Function, Model, Problem, Request, Response, Tensor};
//!
//! struct Mean;
//!
//! impl Function for Mean {
//!     fn answer(request: &Request, model: &dyn Model) -> Result<Response, Problem> {
//!         let pixels: Vec<f32> = request.json()?;
//!         let input = Tensor::fp32("image", &[1, 1, 28, 28], &pixels)?;
//!         let outputs = model.infer(vec![input], &["logits"])?;
//!         let logits = outputs[0].to_fp32()?;
//!         Response::json(&logits)
//!     }
//! }
//!
//! // samara_function::export!(Mean: "image FP32[-1,1,28,28] -> logits FP32[-1,10]");
//! ```
//!
//! [`export!`] makes the component's exports of it. The text after the colon is the signature of the model that the
//! function is made for, which `samara link` and `samara serve` hold against the model's own.
//!
//! A function is tested without a host: [`Request::post`] makes a request, and [`testing::FakeModel`] a model.

mod accept;
#[cfg(target_arch = "wasm32")]
mod component;
mod function;
mod model;
mod problem;
mod request;
mod response;
mod tensor;
pub mod testing;

#[cfg(target_arch = "wasm32")]
pub use component::LinkedModel;
pub use function::{Function, answer};
pub use model::{Metadata, Model, ModelError, TensorSpec};
pub use problem::Problem;
pub use request::Request;
pub use response::Response;
pub use tensor::{Datatype, Tensor, TensorError};

/// What [`export!`] and other ways to export a function need. Not for direct use.
#[doc(hidden)]
pub mod private {
    #[cfg(target_arch = "wasm32")]
    pub use crate::component::*;
}

/// Exports a function as a component: `export!(Type: "signature of its model")`.
///
/// The signature lists inputs and outputs as `samara inspect` prints them, `NAME DATATYPE[SHAPE]`, separated by commas,
/// with `->` between inputs and outputs; -1 is any size. It rides in the component as the custom section
/// `samara:function`.
#[macro_export]
macro_rules! export {
    ($function:ty: $signature:literal) => {
        $crate::signature!($signature);

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Component;

            impl $crate::private::IncomingHandler for Component {
                fn handle(request: $crate::private::IncomingRequest, out: $crate::private::ResponseOutparam) {
                    $crate::private::handle::<$function>(request, out);
                }
            }

    $crate::private::export_handler!(Component with_types_in $crate::private::bindings);
        };
    };
}

/// Puts the signature of a function's model into the component, for functions that export their handler in another way
/// than with [`export!`].
#[macro_export]
macro_rules! signature {
    ($signature:literal) => {
        #[cfg(target_arch = "wasm32")]
        #[unsafe(link_section = "samara:function")]
        #[used]
        static SIGNATURE: [u8; $signature.len()] = {
            let mut bytes = [0; $signature.len()];
            bytes.copy_from_slice($signature.as_bytes());
            bytes
        };
    };
}
