;; Takes a page of memory after the other, writes into each, and gives up when there is none to be had.
(func (export "samara:inference/model@0.1.0#infer")
  (param $inputs i32) (param $count i32) (param $outputs i32) (param $wanted i32) (result i32)
  (local $page i32)
  (loop $more
    (local.set $page (memory.grow (i32.const 1)))
    (if (i32.eq (local.get $page) (i32.const -1)) (then (unreachable)))
    (i32.store (i32.mul (local.get $page) (i32.const 65536)) (i32.const 1))
    (br $more))
  (unreachable))
