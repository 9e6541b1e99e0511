import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.hdfs.MiniDFSCluster;

/** A NameNode and a DataNode in one process. Arguments: port, folder for data, file that says when it is ready. */
public class MiniHdfs {
  public static void main(String[] args) throws Exception {
    Configuration conf = new Configuration();
    for (String key : new String[] {"dfs.datanode.address", "dfs.datanode.http.address", "dfs.datanode.ipc.address"}) {
      conf.set(key, "127.0.0.1:0");
    }
    conf.set("dfs.namenode.http-bind-host", "127.0.0.1");
    conf.set("dfs.datanode.hostname", "127.0.0.1");
    conf.set("dfs.client.use.datanode.hostname", "true");
    conf.setBoolean("dfs.permissions.enabled", true);
    conf.setInt("dfs.namenode.fs-limits.min-block-size", 4096);
    conf.setInt("dfs.blocksize", 1 << 20); // objects of the tests span blocks
    conf.setInt("dfs.replication", 1);
    MiniDFSCluster cluster =
        new MiniDFSCluster.Builder(conf, new File(args[1])).nameNodePort(Integer.parseInt(args[0])).numDataNodes(1).format(true).build();
    cluster.waitActive();
    Files.writeString(Path.of(args[2]), cluster.getFileSystem().getUri().toString());
    Thread.currentThread().join();
  }
}
