;; Never comes back.
(func (export "wasi:http/incoming-handler@0.2.0#handle") (param i32 i32)
  (loop $forever (br $forever)))
