package views

// Build says which program this is.
type Build struct {
	Version  string
	Revision string // of the source; empty: not known
	Go       string
}

// Version shows which program this is.
type Version interface {
	Built(Build) error
}

// NewVersion returns the side that o chooses.
func NewVersion(o *Output) Version {
	if o.JSON {
		return versionJSON{o}
	}
	return versionHuman{o}
}

type versionHuman struct{ o *Output }

func (v versionHuman) Built(b Build) error {
	p := newPage(v.o.Style)
	text := "recount " + b.Version
	if b.Revision != "" {
		text += " (" + clip(b.Revision, 12, "") + ")"
	}
	p.line(say(text + " " + b.Go))
	return p.flush(v.o.Out)
}

type versionJSON struct{ o *Output }

func (v versionJSON) Built(b Build) error {
	return emit(v.o.Out, versionObject{head: typed("version"), Version: b.Version, Revision: orNull(b.Revision), Go: b.Go})
}

type versionObject struct {
	head
	Version  string `json:"version"`
	Revision any    `json:"revision"`
	Go       string `json:"go"`
}
