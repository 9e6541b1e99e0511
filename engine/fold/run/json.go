package run

import (
	"encoding/json"
	"fmt"
	"time"

	"recount"
)

// plainSpec is Spec without its methods.
type plainSpec Spec

// wireSpec is Spec as JSON: a zone travels by its name.
type wireSpec struct {
	*plainSpec
	Bucket wireBucket `json:"bucket"`
}

type wireBucket struct {
	Size time.Duration `json:"size"`
	Zone string        `json:"zone"`
}

// MarshalJSON writes the bucket's zone by its name.
func (s Spec) MarshalJSON() ([]byte, error) {
	w := wireSpec{plainSpec: (*plainSpec)(&s), Bucket: wireBucket{Size: s.Bucket.Size}}
	if s.Bucket.Zone != nil {
		w.Bucket.Zone = s.Bucket.Zone.String()
	}
	return json.Marshal(w)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Spec) UnmarshalJSON(b []byte) error {
	w := wireSpec{plainSpec: (*plainSpec)(s)}
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	s.Bucket = recount.Bucket{Size: w.Bucket.Size}
	if w.Bucket.Zone == "" {
		return nil
	}
	zone, err := time.LoadLocation(w.Bucket.Zone)
	if err != nil {
		return fmt.Errorf("read the bucket's zone: %w", err)
	}
	s.Bucket.Zone = zone
	return nil
}
