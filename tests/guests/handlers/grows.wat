;; Takes memory until there is no more, and then traps.
(func (export "wasi:http/incoming-handler@0.2.0#handle") (param i32 i32)
  (loop $more
    (br_if $more (i32.ne (memory.grow (i32.const 256)) (i32.const -1))))
  (unreachable))
