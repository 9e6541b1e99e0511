package recount

// Progress is told how far a long act has come. Implementations are safe to
// call at once and return quickly.
type Progress interface {
	// Begin starts an act of so many units; total 0 means that it is not known.
	Begin(act string, total int64) Act
}

// Act is one running act.
type Act interface {
	Add(n int64)
	End()
}

// Quiet is a Progress that says nothing.
type Quiet struct{}

// Begin returns an act that says nothing.
func (Quiet) Begin(string, int64) Act { return quietAct{} }

type quietAct struct{}

func (quietAct) Add(int64) {}
func (quietAct) End()      {}
