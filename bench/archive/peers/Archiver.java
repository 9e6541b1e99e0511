import java.util.List;
import org.apache.camel.Exchange;
import org.apache.camel.builder.RouteBuilder;
import org.apache.camel.main.Main;

/** Camel's batching Kafka to S3: Archiver TOPIC BROKERS BUCKET ENDPOINT RECORDS_A_BATCH. One object of JSON lines for each batch. */
public class Archiver {
  public static void main(String[] args) throws Exception {
    String topic = args[0], brokers = args[1], bucket = args[2], endpoint = args[3], records = args[4];
    Main main = new Main();
    main.configure().addRoutesBuilder(new RouteBuilder() {
      @Override
      public void configure() {
        from("kafka:" + topic + "?brokers=" + brokers + "&autoOffsetReset=earliest&groupId=" + bucket
            + "&batching=true&batchingIntervalMs=2000&maxPollRecords=" + records
            + "&consumersCount=1&fetchMaxBytes=52428800&maxPartitionFetchBytes=52428800&fetchMinBytes=8388608&fetchWaitMaxMs=500")
            .process(exchange -> {
              List<?> batch = exchange.getMessage().getBody(List.class);
              StringBuilder lines = new StringBuilder(batch.size() * 256);
              String first = null;
              for (Object o : batch) {
                Exchange record = (Exchange) o;
                if (first == null) {
                  first = record.getMessage().getHeader("kafka.PARTITION") + "-" + record.getMessage().getHeader("kafka.OFFSET");
                }
                lines.append(record.getMessage().getBody(String.class)).append('\n');
              }
              exchange.getMessage().setBody(lines.toString());
              exchange.getMessage().setHeader("CamelAwsS3Key", "events/" + first + ".jsonl");
            })
            .to("aws2-s3://" + bucket + "?overrideEndpoint=true&uriEndpointOverride=" + endpoint
                + "&forcePathStyle=true&accessKey=recount&secretKey=recountsecret&region=us-east-1");
      }
    });
    main.run();
  }
}
