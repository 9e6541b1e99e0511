package sandbox

import "recount"

// refused says why nothing was started.
func refused(why string) error {
	return &recount.Error{
		Code: recount.CodeSandbox, What: "the worker cannot be isolated here", Why: why,
		Next: "run it on a machine whose kernel has what is missing (recount doctor lists it), or, for a worker that you trust, add --unsandboxed",
	}
}
