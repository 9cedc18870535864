/* Makes the record of the image. */
function importImage(job, cb) {
    var uuid = job.params.image_uuid;
    var deadline = Date.now() + 55000;

    isCanceled(job, function (canceled) {
        if (canceled) {
            cb('cancel');
            return;
        }
        createRecord(job, uuid, deadline, function (err) {
            cb(err, 'Image ' + uuid + ' created');
        });
    });
}
