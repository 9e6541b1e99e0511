package sandbox

// Layers are the means that isolate a process, by name.
var Layers = map[string]layer{
	"network namespace": layerNet, "pid namespace": layerPID, "mount namespace": layerMount, "ipc namespace": layerIPC,
	"uts namespace": layerUTS, "landlock": layerLandlock, "seccomp": layerSeccomp, "limits": layerLimits,
	"capabilities": layerCaps, "descriptors": layerFiles, "clock": layerClock,
}

// Without returns the spec with layers left out.
func (s Spec) Without(names ...string) Spec {
	for _, name := range names {
		s.off |= Layers[name]
	}
	return s
}
