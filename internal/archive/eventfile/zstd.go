package eventfile

import (
	"sync"

	"github.com/DataDog/zstd"
	"github.com/apache/arrow-go/v18/parquet/compress"
)

// zstdCodec is the library's codec with the encoder of zstd's own authors, which
// takes half the time for fewer bytes. What is read is decoded as before, by code
// that keeps within its memory whatever the bytes are.
type zstdCodec struct {
	decoder
}

type decoder interface {
	compress.ErrorCodec
	compress.StreamingCodec
}

func init() { //nolint:gochecknoinits // only registers (docs/adr/0004, 0021), before anything reads or writes
	if own, err := compress.GetCodec(compress.Codecs.Zstd); err == nil {
		if d, ok := own.(decoder); ok {
			compress.RegisterCodec(compress.Codecs.Zstd, zstdCodec{d})
		}
	}
}

// encoders keep their tables from one page to the next.
var encoders = sync.Pool{New: func() any { return zstd.NewCtx() }}

// EncodeLevel compresses src, into dst where it has room for the bound.
func (c zstdCodec) EncodeLevel(dst, src []byte, level int) []byte {
	if level == compress.DefaultCompressionLevel {
		level = zstd.DefaultCompression
	}
	if e, ok := encoders.Get().(zstd.Ctx); ok {
		defer encoders.Put(e)
		if out, err := e.CompressLevel(dst, src, level); err == nil {
			return out
		}
	}
	return c.decoder.EncodeLevel(dst, src, level)
}
